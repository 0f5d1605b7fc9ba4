*** Settings ***
Library           otto_docker_sync.robot.OttoDockerLibrary
Suite Setup       Open
Suite Teardown    Close All Connections
Test Template     The Shell Is Our Own

*** Test Cases ***
A    a
B    b
C    c

*** Keywords ***
Open
    Open Connection    %{LAB_MACHINE}    port=%{LAB_PORT}    known_hosts=%{LAB_KNOWN_HOSTS}
    Login With Public Key    %{LAB_USER}    %{LAB_IDENTITY_FILE}
    Use Container    %{LAB_CONTAINER}

The Shell Is Our Own
    [Arguments]    ${name}
    Run Command    mine='${SUITE NAME}-${name}'
    Run Command    sleep 0.2
    ${result} =    Run Command    echo "$mine"
    Should Be Equal    ${result.output}    ${SUITE NAME}-${name}\n
