*** Settings ***
Library           otto_docker_sync.robot.OttoDockerLibrary    known_hosts=%{LAB_KNOWN_HOSTS}
Suite Setup       Open Machine And Container
Suite Teardown    Close All Connections

*** Test Cases ***
A Container Shows Prompt And Echo
    ${line} =    Write    echo $((40 + 2))
    Should Contain    ${line}    echo $((40 + 2))
    ${output} =    Read Until Prompt
    Should Match Regexp    ${output}    ^42\r\n.*# $
    Set Client Configuration    width=133    height=33
    Write    stty size
    ${output} =    Read Until Prompt
    Should Contain    ${output}    33 133

The Persistent Shell Is Another
    Write    cd /tmp
    Read Until Prompt
    ${result} =    Run Command    pwd
    Should Be Equal    ${result.output}    /\n
    Write    echo from the session    session=other
    ${output} =    Read Until    session\n    session=other
    Should Be Equal    ${output.strip()}    from the session

A Prompt That Never Comes Does Not Keep A Program From Being Used
    Use Container    %{LAB_CONTAINER}    parent=machine    alias=program    prompt=sum>    timeout=10 s
    Write    while printf 'sum> '; read -r a b && [ "$a" != quit ]; do echo $((a + b)); done
    Read Until Prompt
    Write    3 4
    ${output} =    Read Until Prompt    strip_prompt=True
    Should Be Equal    ${output.strip()}    7
    [Teardown]    Close Connection

A Program Is Interrupted
    Switch Connection    box
    Write    sh -c 'echo started; exec sleep 60'; echo over
    Read Until    started
    Interrupt
    Read Until Prompt
    Write    echo free
    ${output} =    Read Until Prompt
    Should Contain    ${output}    free

Much Is Written While Much Is Shown
    ${much} =    Evaluate    ('x' * 100 + '\\n') * 2000
    Set Client Configuration    timeout=20 s
    Write    stty -echo; echo started; cat; stty echo
    Read Until    started
    Write Bare    ${much}\x04
    ${output} =    Read Until Prompt
    Should Be Equal As Integers    ${output.count('x')}    200000

The Shell Ends
    Write    exit
    ${output} =    Read    delay=2 s
    Run Keyword And Expect Error    SessionClosed: *has ended*    Write    text

What Runs In A Terminal Ends With It
    Use Container    %{LAB_CONTAINER}    parent=machine    prompt=#
    Write    sleep 4337
    Close Connection

*** Keywords ***
Open Machine And Container
    Open Connection    %{LAB_MACHINE}    alias=machine    port=%{LAB_PORT}
    Login With Public Key    %{LAB_USER}    %{LAB_IDENTITY_FILE}    delay=0
    Use Container    %{LAB_CONTAINER}    alias=box    prompt=${SPACE}    timeout=10 s
    Set Client Configuration    prompt=\#${SPACE}
