*** Settings ***
Library           otto_docker_sync.robot.OttoDockerLibrary    known_hosts=%{LAB_KNOWN_HOSTS}
Suite Teardown    Close All Connections

*** Test Cases ***
Levels Of The Log
    Open Connection    %{LAB_MACHINE}    port=%{LAB_PORT}
    Login With Public Key    %{LAB_USER}    %{LAB_IDENTITY_FILE}
    Execute Command    true
    Set Default Configuration    loglevel=NONE
    Use Container    %{LAB_CONTAINER}
    Start Command    true
