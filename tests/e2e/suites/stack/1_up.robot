*** Settings ***
Library           otto_docker_sync.robot.OttoDockerLibrary

*** Test Cases ***
A Project Is Started
    ${lab} =    Use Lab    %{OTTO_LAB}
    Should Be Equal    ${lab.name}    bench
    ${services} =    Docker Compose Up    repo1    build=False    timeout=50 s
    ${result} =    Run Oneshot    cat /tmp/answer    host=${services}[api]
    Should Be Equal    ${result.stdout}    42\n
