*** Settings ***
Library           otto_docker_sync.robot.OttoDockerLibrary

*** Test Cases ***
Nothing Is Closed
    Open Connection    %{LAB_MACHINE}    alias=machine    port=%{LAB_PORT}    known_hosts=%{LAB_KNOWN_HOSTS}
    Login With Public Key    %{LAB_USER}    %{LAB_IDENTITY_FILE}
    Use Container    %{LAB_CONTAINER}    alias=box
    Run Command    sleep 4331 &
    Write    sleep 4332
    Start Command    sleep 4333
    Start Repeat    tick    sleep 4334    1 s
