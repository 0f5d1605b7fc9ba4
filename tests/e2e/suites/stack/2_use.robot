*** Settings ***
Documentation     The hosts of an earlier suite of the run are still open.
Library           otto_docker_sync.robot.OttoDockerLibrary

*** Test Cases ***
Services Are Known By Name And By Id
    ${by_name} =    Get Host    api
    ${by_id} =    Get Host    carrot.repo1.api
    Should Be Equal    ${by_name}    ${by_id}
    Host Should Be Running    host=db
    ${result} =    Run Command    cat /tmp/answer    host=api
    Should Be Equal    ${result.output}    42\n

A Container's Own Log Is A List Of Lines
    ${lines} =    Get Container Logs    tail=1    since=1 hour    timeout=20 s    host=api
    Should Be Equal    ${lines}    ${{ ['api is up'] }}

A Project Is Stopped
    Docker Compose Down    repo1
    ${result} =    Run Oneshot    docker ps --quiet --filter label=com.docker.compose.project=%{PROJECT}    host=carrot    check=True
    Should Be Empty    ${result.stdout}
