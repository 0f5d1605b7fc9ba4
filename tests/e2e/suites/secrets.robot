*** Settings ***
Library           otto_docker_sync.robot.OttoDockerLibrary
Suite Teardown    Close All Connections

*** Variables ***
${PASSWORD: Secret}    %{SECRET_PASSWORD}

*** Test Cases ***
A Secret Variable Shows In No Log
    Open Connection    %{LAB_MACHINE}    port=%{LAB_PORT}    known_hosts=%{LAB_KNOWN_HOSTS}
    Run Keyword And Expect Error    Authentication failed for user '%{LAB_USER}'.    Login    %{LAB_USER}    ${PASSWORD}    allow_agent=False
    Login With Public Key    %{LAB_USER}    %{LAB_IDENTITY_FILE}
    Use Container    %{LAB_CONTAINER}
    &{answers} =    Create Dictionary    Word:=${PASSWORD}
    ${result} =    Run Command    printf Word:; read -r a; echo "\${#a} letters"    expects=${answers}    timeout=10
    Should Contain    ${result.output}    28 letters
    Write    read -r b; echo "that is \${#b} letters"
    Write    ${PASSWORD}
    Read Until    28 letters
