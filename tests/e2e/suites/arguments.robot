*** Settings ***
Library           otto_docker_sync.robot.OttoDockerLibrary    known_hosts=%{LAB_KNOWN_HOSTS}
Suite Setup       Open Machine And Container
Suite Teardown    Close All Connections

*** Test Cases ***
A Misspelt Argument Is No Command
    Run Keyword And Expect Error    ConfigError: 'timout=3': *no argument 'timout'; did you mean timeout=?*
    ...    Run Command    ls    timout=3
    Run Keyword And Expect Error    ConfigError: *did you mean timeout=?*    Run Oneshot    ls    Timeouts=3
    Run Keyword And Expect Error    ConfigError: *did you mean host=?*    Run Command    ls    hsot=box

A Misspelt Argument Is No Other Argument's Value
    Run Keyword And Expect Error    ConfigError: *did you mean timeout=?*    Execute Command    ls    timout=3
    Run Keyword And Expect Error    ConfigError: *did you mean loglevel=?*    Write    secret    logelvel=NONE
    Run Keyword And Expect Error    ConfigError: *did you mean mode=?*    Put File    ${CURDIR}/arguments.robot    mod=0600
    Run Keyword And Expect Error    ConfigError: *no argument 'colour'; it has: *    Execute Command    ls    colour=red

What Only Looks Like An Argument Is Passed On
    ${result} =    Run Oneshot    printf    %s,    if=/dev/zero    times=3
    Should Be Equal    ${result.stdout}    if=/dev/zero,times=3,
    ${results} =    Run Command    a=1    echo $a
    Should Be Equal    ${results[1].output}    1\n
    ${result} =    Run Command    timout=3; echo $timout
    Should Be Equal    ${result.output}    3\n

A Host And A Session Are Given By Name Only
    Run Keyword And Expect Error    *    Execute Command    true    1    0    0    0    ${NONE}    1 s    0    0    0    0    box
    Run Keyword And Expect Error    *    Write    text    INFO    a-session
    Run Keyword And Expect Error    ConfigError: host=box: *    Get Connection    host=box

What Cannot Be Had Is Refused
    Run Keyword And Expect Error    ConfigError: invoke_subsystem*    Execute Command    x    invoke_subsystem=True
    Run Keyword And Expect Error    ConfigError: forward_agent*    Start Command    x    forward_agent=True
    Open Connection    %{LAB_MACHINE}    port=%{LAB_PORT}
    Run Keyword And Expect Error    ConfigError: proxy_cmd*    Login    proxy_cmd=nc localhost 22
    Run Keyword And Expect Error    *'scp'*'SOMETIMES'*    Put File    ${CURDIR}/arguments.robot    scp=SOMETIMES
    [Teardown]    Switch Connection    box

A Tunnel Ends With Its Host
    Open Connection    %{LAB_MACHINE}    port=%{LAB_PORT}
    Login With Public Key    %{LAB_USER}    %{LAB_IDENTITY_FILE}    delay=0
    ${port} =    Evaluate    (lambda probe: (probe.bind(('127.0.0.1', 0)), probe.getsockname()[1], probe.close())[1])(socket.socket())    modules=socket
    Create Local SSH Tunnel    ${port}    127.0.0.1    %{LAB_PORT}
    Run Keyword And Expect Error    ConfigError: *the local port cannot be used: *    Create Local SSH Tunnel    ${port}    localhost
    Close Connection
    Run Keyword And Expect Error    *ConnectionRefusedError*
    ...    Evaluate    socket.create_connection(('127.0.0.1', ${port}))    modules=socket
    Switch Connection    box
    Run Keyword And Expect Error    ConfigError: bind_address=0.0.0.0: *    Create Local SSH Tunnel    ${port}    x    80    0.0.0.0

What Changes Nothing Is Accepted
    Put File    ${CURDIR}/arguments.robot    /tmp/otto-arguments    0600    ${EMPTY}    TRANSFER    False
    [Teardown]    Execute Command    rm /tmp/otto-arguments

*** Keywords ***
Open Machine And Container
    Open Connection    %{LAB_MACHINE}    alias=machine    port=%{LAB_PORT}
    Login With Public Key    %{LAB_USER}    %{LAB_IDENTITY_FILE}    delay=0
    Use Container    %{LAB_CONTAINER}    alias=box
