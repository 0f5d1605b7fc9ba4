*** Settings ***
Library           otto_docker_sync.robot.OttoDockerLibrary
Suite Teardown    Close All Connections

*** Test Cases ***
Records Of Other Threads Arrive In The Keyword That Runs
    Open Connection    %{LAB_MACHINE}    port=%{LAB_PORT}    known_hosts=%{LAB_KNOWN_HOSTS}
    Login With Public Key    %{LAB_USER}    %{LAB_IDENTITY_FILE}
    Use Container    %{LAB_CONTAINER}
    Start Repeat    tick    echo repeated    0.1 s
    Sleep    2 s
    Stop Repeat    tick
    Log    nothing more
