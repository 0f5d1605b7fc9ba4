*** Settings ***
Library     otto_docker_sync.robot.OttoDockerLibrary
Library     OperatingSystem
Test Teardown    Close All Connections


*** Test Cases ***
A Host Is Reserved And Released
    Use Lab    lab.toml
    ${reservation} =    Reserve    carrot    wait=1 s    reason=a suite
    Should Be Equal    ${reservation.tags}    ${{("carrot",)}}
    Run Oneshot    true    host=carrot    check=True
    Run Keyword And Expect Error    *this process holds it already*    Reserve    carrot
    Release    ${reservation}
    Run Keyword And Expect Error    *requires a reservation*    Run Oneshot    true    host=carrot

Any Of Several
    Use Lab    lab.toml
    ${reservation} =    Reserve    any_of=*    count=1
    Should Be Equal    ${reservation.hosts[0].id}    carrot
