*** Settings ***
Library           SSHLibrary
Suite Setup       Open The System Under Test
Suite Teardown    Close All Connections

*** Test Cases ***
A Command And Its Exit Status
    ${stdout}    ${stderr}    ${rc} =    Execute Command    echo out; echo err >&2; exit 3
    ...    return_stderr=True    return_rc=True
    Should Be Equal    ${stdout}    out
    Should Be Equal    ${stderr}    err
    Should Be Equal As Integers    ${rc}    3

A Command In The Background
    Start Command    sleep 0.2; echo done
    ${stdout} =    Read Command Output
    Should Be Equal    ${stdout}    done

A Dialogue
    Write    printf 'Na''me: '; read name; echo "hello <$name>"
    Read Until    Name:
    Write    tester
    ${output} =    Read Until    hello <tester>
    Should Contain    ${output}    hello <tester>
    Write    echo port=8080.
    ${output} =    Read Until Regexp    port=\\d+\\.

Files
    Put File    ${CURDIR}/before_sshlibrary.robot    /tmp/otto-suite.robot    mode=0644
    File Should Exist    /tmp/otto-suite.robot
    Get File    /tmp/otto-suite.robot    ${OUTPUT DIR}/copy.robot
    Execute Command    rm /tmp/otto-suite.robot
    File Should Not Exist    /tmp/otto-suite.robot
    Directory Should Exist    /tmp

*** Keywords ***
Open The System Under Test
    Open Connection    %{LAB_MACHINE}    port=%{LAB_PORT=22}    timeout=10 s
    Login With Public Key    %{LAB_USER}    %{LAB_IDENTITY_FILE}
