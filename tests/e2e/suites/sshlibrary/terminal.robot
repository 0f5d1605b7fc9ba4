*** Comments ***
Runs with SSHLibrary and with OttoDockerLibrary, and nothing of it is changed but the import.

*** Settings ***
Library           OperatingSystem
Resource          log_in.resource
Suite Setup       Log In
Suite Teardown    Close All Connections

*** Test Cases ***
The Arguments Of The Import Are Settings
    Open Connection    %{LAB_MACHINE}    port=%{LAB_PORT}
    ${found} =    Get Connection
    Should Be Equal As Integers    ${found.timeout}    210
    Should Be Equal    ${found.prompt}    ready>
    Should Be Equal As Integers    ${found.width}    100
    Should Be Equal    ${found.encoding}    UTF-8
    Should Be Equal    ${found.newline}    \n
    ${host}    ${port}    ${timeout} =    Get Connection    host=yes    port=True    timeout=1    width=no
    Should Be Equal    ${host}-${port}-${timeout}    %{LAB_MACHINE}-%{LAB_PORT}-210.0
    ${index} =    Get Connection    1    index=True
    Should Be Equal    ${index}    ${1}
    [Teardown]    Run Keywords    Close Connection    AND    Switch Connection    main

What Is Written Is Repeated By The Terminal And Read
    ${line} =    Write    echo $((40 + 2))
    Should Contain    ${line}    echo $((40 + 2))
    Should End With    ${line}    \n
    ${output} =    Read Until Prompt
    Should Be Equal    ${output}    42\r\nready>
    Write    echo once
    ${output} =    Read Until Prompt    strip_prompt=True
    Should Be Equal    ${output.strip()}    once

A Greedy Expression Ends At Its First Match
    Write    echo 'a=1 a=2'
    ${output} =    Read Until Regexp    a=.*\\d
    Should End With    ${output}    a=1
    Read Until Prompt

A Prompt That Is A Regular Expression
    Set Client Configuration    prompt=REGEXP:ready[>]
    Write    echo expression
    ${output} =    Read Until Prompt    strip_prompt=yes
    Should Be Equal    ${output.strip()}    expression
    [Teardown]    Set Client Configuration    prompt=ready>

What Did Not Arrive In Time Is Read All The Same
    Set Client Configuration    timeout=1
    Write    echo before
    ${message} =    Run Keyword And Expect Error    *    Read Until    never
    Should Start With    ${message}    No match found for 'never' in 1 second
    Should Contain    ${message}    before
    ${output} =    Read
    Should Not Contain    ${output}    before
    [Teardown]    Set Client Configuration    timeout=10

A Text Is Written Until It Has An Effect
    Write Until Expected Output    cat /nowhere$((3 + 4))\n    nowhere7    5 s    0.5 s
    Read What Is Left
    Run Keyword And Expect Error    No match found for 'never' in 1 second.
    ...    Write Until Expected Output    \n    never    1 s    0.3 s
    Read What Is Left

The Terminal Has A Type And A Size
    Set Client Configuration    width=133    height=33
    Write    stty size; echo $TERM
    ${output} =    Read Until Prompt
    Should Contain    ${output}    33 133\r\nvt100

What Is Not Valid In The Encoding Is An Error, Then Read On
    Write    printf '\\303(\\n'
    Run Keyword And Expect Error    *codec can't decode byte*    Read Until Prompt
    Set Client Configuration    encoding_errors=replace
    Read What Is Left
    Write    printf '\\303(\\n'
    ${output} =    Read Until Prompt
    Should Contain    ${output}    \ufffd(
    Set Client Configuration    encoding=latin-1
    Write    printf '\\303(\\n'
    ${output} =    Read Until Prompt
    Should Contain    ${output}    Ã(
    [Teardown]    Set Client Configuration    encoding=UTF-8    encoding_errors=strict

Control Sequences Are Taken Out Where That Is Asked For
    Set Client Configuration    escape_ansi=True
    Write    printf '\\033[1mbold\\033[0m\\n'
    ${output} =    Read Until Prompt
    Should Be Equal    ${output.splitlines()}[0]    bold
    [Teardown]    Set Client Configuration    escape_ansi=False

A Log Level Is No Text To Write
    Write    echo secret    loglevel=NONE
    ${output} =    Read Until Prompt    NONE
    Should Contain    ${output}    secret
    Run Keyword And Expect Error    Invalid log level 'LOUD'.    Read    LOUD

*** Keywords ***
Read What Is Left
    Write    echo all-$((1 + 1))
    Read Until    all-2
    Read Until Prompt
