*** Settings ***
Library           otto_docker_sync.robot.OttoDockerLibrary

*** Test Cases ***
A Project Is Started
    ${lab} =    Use Lab    %{OTTO_LAB}
    Should Be Equal    ${lab.name}    bench
    ${services} =    Docker Compose Up    repo1    build=False    timeout=50 s    wait=True
    Wait Until Ready    log=is up    command=true    timeout=50 s    host=api
    Run Keyword And Expect Error    WaitTimedOut: *port 80 did not hold in time*    Wait Until Ready    port=80    timeout=1 s    host=db
    ${result} =    Run Oneshot    cat /tmp/answer    host=${services}[api]
    Should Be Equal    ${result.stdout}    42\n
