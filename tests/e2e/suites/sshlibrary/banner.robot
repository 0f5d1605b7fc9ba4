*** Settings ***
Library           %{SSH_LIBRARY}
Suite Teardown    Close All Connections

*** Test Cases ***
What The Server Says Before The Login
    ${banner} =    Get Pre Login Banner    %{LAB_MACHINE}    %{LAB_PORT}
    Should Be Equal    ${banner}    Authorized users only\n
    Open Connection    %{LAB_MACHINE}    port=%{LAB_PORT}
    Login With Public Key    %{LAB_USER}    %{LAB_IDENTITY_FILE}
    ${banner} =    Get Pre Login Banner
    Should Be Equal    ${banner}    Authorized users only\n
