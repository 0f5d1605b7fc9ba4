*** Comments ***
Runs with SSHLibrary and with OttoDockerLibrary, and nothing of it is changed but the import.

*** Settings ***
Library           OperatingSystem
Resource          log_in.resource
Suite Setup       Log In
Suite Teardown    Close All Connections

*** Test Cases ***
A Command Runs In The Login Shell And Returns What It Is Told To
    ${shell} =    Execute Command    echo "$0"
    ${entry} =    Execute Command    getent passwd "$(id -un)"
    Should End With    ${entry}    ${shell}
    ${out}    ${err}    ${rc} =    Execute Command    echo o; echo e >&2; exit 3    any    text    is true
    Should Be Equal    ${out}-${err}-${rc}    o-e-3
    ${err} =    Execute Command    echo o; echo e >&2    stderr
    Should Be Equal    ${err}    e
    ${both} =    Execute Command    echo o; echo e >&2    Both
    Should Be Equal    ${both}    ${{['o', 'e']}}
    ${none} =    Execute Command    echo o    return_stdout=no
    Should Be Equal    ${none}    ${{[]}}
    Start Command    echo first
    Start Command    echo o; echo e >&2
    ${err} =    Read Command Output    stderr
    ${first} =    Read Command Output
    Should Be Equal    ${err}-${first}    e-first
    Run Keyword And Expect Error    No started commands to read output from.    Read Command Output
    Run Keyword And Expect Error    SSHClientException: Timed out in 1 seconds    Execute Command    sleep 3    timeout=1s
    Start Command    sleep 3
    Run Keyword And Expect Error    *Timed out in 1 seconds    Read Command Output    timeout=1s

A Command Is Run By Sudo, With Options Of Sudo In Front
    ${user} =    Execute Command    -k id -un    sudo=True    sudo_password=%{LAB_PASSWORD}
    Should Be Equal    ${user}    root
    ${output} =    Execute Command    -k id -un; echo and more    sudo=True    sudo_password=%{LAB_PASSWORD}
    Should Be Equal    ${output}    root\nand more
    ${processes} =    Execute Command    -k ps -e -o args    sudo=True    sudo_password=%{LAB_PASSWORD}
    Should Contain    ${processes}    ps -e -o args
    Should Not Contain    ${processes}    %{LAB_PASSWORD}
    Start Command    -k id -un    sudo=True    sudo_password=%{LAB_PASSWORD}
    ${user} =    Read Command Output
    Should Be Equal    ${user}    root
    ${output}    ${rc} =    Execute Command    -k id -un    sudo=True    sudo_password=wrong    return_rc=True
    Should Be Equal    ${output}-${rc}    -1

Files Are Found By Patterns
    Execute Command    mkdir -p /tmp/otto-both/sub; cd /tmp/otto-both; touch one.txt two.txt; ln -s one.txt link
    File Should Exist    /tmp/otto-both/o[mn]e.*
    File Should Not Exist    /tmp/otto-both/s*
    Directory Should Exist    /tmp/otto-both/s?b
    Directory Should Not Exist    /tmp/otto-both/o*
    Run Keyword And Expect Error    File '/tmp/otto-both/t*' exists.    File Should Not Exist    /tmp/otto-both/t*
    Run Keyword And Expect Error    File '/tmp/otto-both/x' does not exist.    File Should Exist    /tmp/otto-both/x
    Run Keyword And Expect Error    Directory '/tmp/otto-both' exists.    Directory Should Not Exist    /tmp/otto-both
    ${names} =    List Directory    /tmp/otto-both    absolute=True
    Should Be Equal    ${names}[0]    /tmp/otto-both/link
    ${names} =    List Files In Directory    /tmp/otto-both    *.txt
    Should Be Equal    ${names}    ${{['one.txt', 'two.txt']}}
    Run Keyword And Expect Error    There was no directory matching '/nowhere'.    List Directory    /nowhere
    Run Keyword And Expect Error    There was no directory matching '/nowhere'.    Get Directory    /nowhere
    Run Keyword And Expect Error    There were no source files matching '/nowhere'.    Get File    /nowhere
    Run Keyword And Expect Error    Cannot copy multiple source files to one destination file.
    ...    Get File    /tmp/otto-both/*.txt    ${OUTPUT DIR}/name
    Run Keyword And Expect Error    ValueError: It is not possible to copy multiple source files to one destination file.
    ...    Put File    ${CURDIR}/../*.robot    /tmp/otto-both/name
    Get File    /tmp/otto-both/*.txt    ${OUTPUT DIR}/both/    scp=TRANSFER
    OperatingSystem.File Should Exist    ${OUTPUT DIR}/both/two.txt
    [Teardown]    Execute Command    rm -r /tmp/otto-both

Files Have The Mode And The Times That Are Asked For
    Create File    ${OUTPUT DIR}/tree/sub/file.txt    a\r\nb\n
    Run    touch -d '2020-02-02 02:02:02 UTC' ${OUTPUT DIR}/tree/sub/file.txt
    Put Directory    ${OUTPUT DIR}/tree    /tmp/otto-tree    mode=0750    newline=LF    recursive=True
    ${found} =    Execute Command    stat -c %a /tmp/otto-tree/sub /tmp/otto-tree/sub/file.txt; cat /tmp/otto-tree/sub/file.txt
    Should Be Equal    ${found}    750\n750\na\nb
    Put File    ${OUTPUT DIR}/tree/sub/file.txt    /tmp/otto-tree/    scp=TRANSFER    scp_preserve_times=True
    ${found} =    Execute Command    stat -c %Y /tmp/otto-tree/file.txt
    Should Be Equal    ${found}    1580608922
    Get File    /tmp/otto-tree/file.txt    ${OUTPUT DIR}/back.txt    scp=TRANSFER    scp_preserve_times=True
    ${found} =    Run    stat -c %Y ${OUTPUT DIR}/back.txt
    Should Be Equal    ${found}    1580608922
    [Teardown]    Execute Command    rm -rf /tmp/otto-tree

A Closed Connection Is Forgotten
    Open Connection    %{LAB_MACHINE}    second    %{LAB_PORT}
    ${before} =    Switch Connection    1
    Should Be Equal    ${before}    ${2}
    Switch Connection    second
    Run Keyword And Expect Error    Cannot open session, you need to establish a connection first.    Write    text
    Close Connection
    Run Keyword And Expect Error    No open connection.    Write    text
    Run Keyword And Expect Error    No open connection.    Close Connection
    Run Keyword And Expect Error    Non-existing index or alias 'second'.    Switch Connection    second
    ${found} =    Get Connection    second
    Should Be Equal    ${found.host}    ${NONE}
    ${index} =    Open Connection    %{LAB_MACHINE}    second    %{LAB_PORT}
    Should Be Equal    ${index}    ${3}
    Switch Connection    ${NONE}
    ${all} =    Get Connections
    Length Should Be    ${all}    1
    [Teardown]    Switch Connection    1

Who Is Not Let In Is Told So
    Open Connection    %{LAB_MACHINE}    port=%{LAB_PORT}
    Run Keyword And Expect Error    Given key file '/nowhere' does not exist.    Login With Public Key    tester    /nowhere
    Run Keyword And Expect Error    Login with public key failed for user 'otto-no-such-user'.
    ...    Login With Public Key    otto-no-such-user    %{LAB_IDENTITY_FILE}
    [Teardown]    Run Keywords    Close Connection    AND    Switch Connection    1

What Happens In The Protocol Is Written To A File
    Enable Ssh Logging    ${OUTPUT DIR}/protocol.log
    Open Connection    %{LAB_MACHINE}    port=%{LAB_PORT}    prompt=REGEXP:[$#]
    Login With Public Key    %{LAB_USER}    %{LAB_IDENTITY_FILE}
    File Should Not Be Empty    ${OUTPUT DIR}/protocol.log
    [Teardown]    Run Keywords    Close Connection    AND    Switch Connection    1

A Local Port Leads To A Port That The Machine Reaches
    ${port} =    Evaluate    (lambda probe: (probe.bind(('127.0.0.1', 0)), probe.getsockname()[1], probe.close())[1])(socket.socket())    modules=socket
    Create Local SSH Tunnel    ${port}    127.0.0.1    %{LAB_PORT}    bind_address=127.0.0.1
    ${greeting} =    Evaluate    (lambda s: (s.recv(8), s.close())[0])(socket.create_connection(('127.0.0.1', ${port})))    modules=socket
    Should Be Equal    ${greeting}    ${{b'SSH-2.0-'}}
