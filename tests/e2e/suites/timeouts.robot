*** Settings ***
Documentation     The first test fails by its time-out; the host is usable afterwards.
Library           otto_docker_sync.robot.OttoDockerLibrary
Suite Setup       Open
Suite Teardown    Close All Connections

*** Test Cases ***
Out Of Time
    [Timeout]    1 second
    Run Command    kept=yes
    Run Command    sleep 4335

Goes On
    ${result} =    Run Command    echo $kept    timeout=10 s
    Should Be Equal    ${result.output}    yes\n

*** Keywords ***
Open
    Open Connection    %{LAB_MACHINE}    port=%{LAB_PORT}    known_hosts=%{LAB_KNOWN_HOSTS}
    Login With Public Key    %{LAB_USER}    %{LAB_IDENTITY_FILE}
    Use Container    %{LAB_CONTAINER}
