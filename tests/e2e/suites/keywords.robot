*** Settings ***
Library           OperatingSystem
Library           Collections
Library           otto_docker_sync.robot.OttoDockerLibrary
Suite Setup       Open Machine And Container
Suite Teardown    Close All Connections

*** Test Cases ***
Hosts Are Named By Alias, Index And Object
    ${container} =    Get Host    box
    Should Be Equal    ${container.parent.id}    machine
    ${by_index} =    Get Host    2
    Should Be Equal    ${container}    ${by_index}
    ${result} =    Run Oneshot    id -u    host=${container}
    Should Be Equal    ${result.stdout}    0\n
    ${before} =    Switch Connection    machine
    Should Be Equal As Integers    ${before}    2
    ${user} =    Execute Command    id -un
    Should Be Equal    ${user}    %{LAB_USER}
    Switch Connection    box
    ${connection} =    Get Connection    machine
    Should Be Equal    ${connection.alias}    machine
    ${all} =    Get Connections
    Length Should Be    ${all}    2
    Run Keyword And Expect Error    Non-existing index or alias 'nobody'.    Get Host    nobody

Execute Command Returns What It Is Told To
    ${out} =    Execute Command    printf 'a\nb\n'
    Should Be Equal    ${out}    a\nb
    ${out}    ${err} =    Execute Command    echo o; echo e >&2    return_stderr=True
    Should Be Equal    ${out}-${err}    o-e
    ${rc} =    Execute Command    exit 7    return_stdout=False    return_rc=True
    Should Be Equal    ${rc}    ${7}
    ${user} =    Execute Command    id -un    host=machine
    Should Be Equal    ${user}    %{LAB_USER}

A Command That Does Not End In Time Fails
    Run Keyword And Expect Error    SSHClientException: Timed out in 1 seconds    Execute Command    sleep 60    timeout=1 s

Started Commands Are Read Last First
    Start Command    echo first
    Start Command    sleep 0.3; echo second; exit 4
    Run Keyword And Expect Error    Timed out in 0 seconds    Read Command Output    timeout=0.01 s
    ${out}    ${rc} =    Read Command Output    return_rc=True    timeout=10 s
    Should Be Equal    ${out}-${rc}    second-4
    ${out} =    Read Command Output
    Should Be Equal    ${out}    first
    Run Keyword And Expect Error    No started commands to read output from.    Read Command Output

A Container's Mounts Are Listed
    ${mounts} =    Get Container Mounts
    Should Be Empty    ${mounts}
    Run Keyword And Expect Error    ConfigError: machine is not a container*    Get Container Mounts    host=machine

A Command Runs In The Background
    ${server} =    Start Background Command    echo listening on port 80; sleep 600
    ${match} =    Wait For Background Output    ${server}    port (\\d+)\\n    timeout=20 s
    Should Be Equal    ${match.groups()}    ${{ ('80',) }}
    Should Be True    ${server.running}
    ${result} =    Stop Background Command    ${server}    grace=20 s
    Should Be Equal As Integers    ${result.rc}    143
    ${upper} =    Start Background Command    tr a-z A-Z
    Send To Background Command    ${upper}    ready\n    end=True
    Wait For Background Output    ${upper}    READY    timeout=20 s
    ${program} =    Start Background Command    echo    a  b
    Run Keyword And Expect Error    SessionClosed: *    Wait For Background Output    ${program}    never

The Shell Keeps Its State And Sessions Are Apart
    Run Command    cd /tmp
    ${result} =    Run Command    pwd
    Should Be Equal    ${result.output}    /tmp\n
    Open Session    other
    ${result} =    Run Command    pwd    session=other
    Should Be Equal    ${result.output}    /\n
    Close Session    other
    ${results} =    Run Command    cd /etc    pwd    timeout=10
    Should Be Equal    ${results[1].output}    /etc\n
    Result Should Be Ok    ${results}

Results Are Asserted On With Their Last Lines
    ${result} =    Run Command    echo why; (exit 3)
    Should Be Equal As Integers    ${result.rc}    3
    Should Not Be True    ${result.ok}
    Result Should Have Rc    ${result}    3
    Run Keyword And Expect Error    *Expected exit status 4*exit status 3*why*    Result Should Have Rc    ${result}    4
    Run Keyword And Expect Error    CommandFailed:*why*    Result Should Be Ok    ${result}
    Run Keyword And Expect Error    CommandFailed:*why*    Run Command    echo why; false    check=True
    Run Keyword And Expect Error    CommandFailed:*why*    Run Oneshot    echo why; false    check=True
    ${result} =    Run Oneshot    printf    %s-%s    a b    c d
    Should Be Equal    ${result.stdout}    a b-c d
    ${env} =    Create Dictionary    GIVEN=it's
    ${result} =    Run Oneshot    cat; pwd; echo "$GIVEN"    input=given${SPACE}    env=${env}    workdir=/usr
    Should Be Equal    ${result.output}    given /usr\nit's\n

Prompts Are Answered
    &{answers} =    Create Dictionary    Name:=tester    Word:=secret
    ${result} =    Run Command    printf Name:; read -r a; printf Word:; read -r b; echo "<$a $b>"    expects=${answers}    timeout=10
    Should Contain    ${result.output}    <tester secret>

A Program Is Written To And Read From
    Set Client Configuration    timeout=10 s
    Write    while printf 'sum> '; read -r a b && [ "$a" != quit ]; do echo $((a + b)); done
    Read Until    sum>
    ${written} =    Write    3 4
    Should Be Equal    ${written}    3 4\n
    ${output} =    Read Until    7
    Should Be Equal    ${output.strip()}    7
    Read Until    sum>
    Write Until Expected Output    5 5\n    10    10 s    1 s
    Read Until    sum>
    Write Bare    quit
    Write Bare    \n
    Write    echo done-$((40 + 2))
    ${output} =    Read Until Regexp    done-(\\d+)
    Should End With    ${output}    done-42
    Write    echo left over
    ${output} =    Set Variable    ${EMPTY}
    WHILE    'left over' not in $output    limit=20 s
        ${piece} =    Read    delay=0.3 s
        ${output} =    Set Variable    ${output}${piece}
    END
    Write    sh -c 'echo begun; exec sleep 60'; echo over
    Read Until    begun
    Interrupt
    ${result} =    Run Command    echo free    timeout=10
    Should Be Equal    ${result.output}    free\n
    Run Keyword And Expect Error    Prompt is not set.    Read Until Prompt

What Did Not Arrive In Time Is Read All The Same
    Set Client Configuration    timeout=1
    Write    echo before
    Run Keyword And Expect Error    No match found for 'never' in 1 second\nOutput:\n*before*    Read Until    never
    ${output} =    Read
    Should Be Empty    ${output}

Files Go There And Back
    Create File    ${OUTPUT DIR}/otto/one.txt    one\n
    Create File    ${OUTPUT DIR}/otto/two.txt    two\n
    Create File    ${OUTPUT DIR}/otto/sub/three.txt    three\n
    Put File    ${OUTPUT DIR}/otto/one.txt    /tmp/otto-robot/renamed.txt    mode=0600
    ${result} =    Run Oneshot    stat -c %a /tmp/otto-robot/renamed.txt; cat /tmp/otto-robot/renamed.txt
    Should Be Equal    ${result.stdout}    600\none\n
    Run    touch -d '2020-02-02 02:02:02 UTC' ${OUTPUT DIR}/otto/two.txt
    Put File    ${OUTPUT DIR}/otto/*.txt    /tmp/otto-robot/    scp_preserve_times=True
    ${result} =    Run Oneshot    stat -c '%X %Y' /tmp/otto-robot/two.txt
    Should Be Equal    ${result.stdout}    1580608922 1580608922\n
    File Should Exist    /tmp/otto-robot/two.txt
    Write Remote File    /tmp/otto-robot/café.txt    coffee: café\n
    ${text} =    Read Remote File    /tmp/otto-robot/café.txt
    Should Be Equal    ${text}    coffee: café\n
    Run Keyword And Expect Error    *No such file*    Read Remote File    /tmp/otto-robot/none.txt
    Put File    ${OUTPUT DIR}/otto/one.txt    /tmp/otto-robot/crlf.txt    newline=CRLF
    ${result} =    Run Oneshot    cat /tmp/otto-robot/crlf.txt
    Should Be Equal    ${result.stdout}    one\r\n
    Directory Should Exist    /tmp/otto-robot
    Directory Should Not Exist    /tmp/otto-robot/two.txt
    Put Directory    ${OUTPUT DIR}/otto    /tmp/otto-robot/flat
    @{names} =    List Directory    /tmp/otto-robot/flat
    Should Be Equal    ${names}    ${{['one.txt', 'two.txt']}}
    Put Directory    ${OUTPUT DIR}/otto    /tmp/otto-robot/flat    recursive=True
    File Should Exist    /tmp/otto-robot/flat/otto/sub/three.txt
    @{names} =    List Directories In Directory    /tmp/otto-robot/flat    absolute=True
    Should Be Equal    ${names}    ${{['/tmp/otto-robot/flat/otto']}}
    @{names} =    List Files In Directory    /tmp/otto-robot/flat    one*
    Should Be Equal    ${names}    ${{['one.txt']}}
    Get File    /tmp/otto-robot/renamed.txt    ${OUTPUT DIR}/back/again.txt
    OperatingSystem.File Should Exist    ${OUTPUT DIR}/back/again.txt
    Get File    /tmp/otto-robot/*.txt    ${OUTPUT DIR}/back/
    OperatingSystem.File Should Exist    ${OUTPUT DIR}/back/two.txt
    Get Directory    /tmp/otto-robot/flat    ${OUTPUT DIR}/tree    recursive=True
    OperatingSystem.File Should Exist    ${OUTPUT DIR}/tree/otto/sub/three.txt
    Get Directory    /tmp/otto-robot/flat    ${OUTPUT DIR}/tree
    OperatingSystem.File Should Exist    ${OUTPUT DIR}/tree/flat/one.txt
    OperatingSystem.File Should Not Exist    ${OUTPUT DIR}/tree/flat/otto
    Run Keyword And Expect Error    There are no source files matching*    Put File    ${OUTPUT DIR}/nothing*    /tmp
    Run Keyword And Expect Error    There were no source files matching*    Get File    /tmp/nothing    ${OUTPUT DIR}
    Run Keyword And Expect Error    File '/tmp/nothing' does not exist.    File Should Exist    /tmp/nothing
    Run Oneshot    rm -r /tmp/otto-robot    check=True
    File Should Not Exist    /tmp/otto-robot/two.txt
    Directory Should Not Exist    /tmp/otto-robot
    [Teardown]    Remove Directory    ${OUTPUT DIR}/otto    recursive=True

Something Is Repeated In The Background
    Start Repeat    tick    echo from-the-repeat    0.1 s    times=3
    Wait Until Keyword Succeeds    5 s    0.1 s    Three Results Are There
    ${results} =    Stop Repeat    tick
    Should Be Equal    ${results[0].output}    from-the-repeat\n
    Stop All Repeats

A Container Runs Or Does Not
    Host Should Be Running
    Use Container    otto-no-such-container    parent=machine    alias=gone
    Run Keyword And Expect Error    * is not running    Host Should Be Running
    Close Connection
    Run Keyword And Expect Error    No open connection.    Execute Command    true
    Switch Connection    box

A Closed Host Is Forgotten
    Close Connection    host=box
    Run Keyword And Expect Error    Non-existing index or alias 'box'.    Run Command    pwd    host=box
    Use Container    %{LAB_CONTAINER}    parent=machine    alias=box    warm=1
    ${connection} =    Get Connection    box
    Should Be Equal    ${connection.index}    ${4}

*** Keywords ***
Three Results Are There
    ${results} =    Repeat Results    tick
    Length Should Be    ${results}    3

Open Machine And Container
    Set Library Search Order    otto_docker_sync.robot.OttoDockerLibrary
    Open Connection    %{LAB_MACHINE}    alias=machine    port=%{LAB_PORT}    known_hosts=%{LAB_KNOWN_HOSTS}
    Login With Public Key    %{LAB_USER}    %{LAB_IDENTITY_FILE}
    Use Container    %{LAB_CONTAINER}    alias=box
