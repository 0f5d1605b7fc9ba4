*** Settings ***
Library           otto_docker_sync.robot.OttoDockerLibrary
Suite Setup       Open Container
Suite Teardown    Close All Connections

*** Test Cases ***
An Expected Failure Is None
    Run Oneshot    echo before >/proc/1/fd/1
    Run Keyword And Expect Error    *    Run Oneshot    false    check=True

A Failure In A Loop
    FOR    ${number}    IN    1    2
        Run Oneshot    echo line ${number} >/proc/1/fd/1; exit ${{ ${number} - 1 }}    check=True
    END

*** Keywords ***
Open Container
    Open Connection    %{LAB_MACHINE}    alias=machine    port=%{LAB_PORT}    known_hosts=%{LAB_KNOWN_HOSTS}
    Login With Public Key    %{LAB_USER}    %{LAB_IDENTITY_FILE}
    Use Container    %{OWN_CONTAINER}    alias=box
