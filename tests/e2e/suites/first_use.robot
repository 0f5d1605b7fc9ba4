*** Settings ***
Library           otto_docker_sync.robot.OttoDockerLibrary

*** Test Cases ***
A Declared Container Comes Up When It Is Used
    Use Lab    %{OTTO_LAB}
    ${result} =    Run Oneshot    cat /tmp/answer    host=carrot.repo1.api    timeout=50 s
    Should Be Equal    ${result.output}    42\n
