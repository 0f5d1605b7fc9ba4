*** Comments ***
Checks of a container, with results to assert on:

    OTTO_LAB=lab.toml OTTO_HOST=carrot.repo1.api robot robot/suite.robot

*** Settings ***
Library           otto_docker_sync.robot.OttoDockerLibrary
Suite Setup       Use Lab    %{OTTO_LAB=lab.toml}    current=%{OTTO_HOST=carrot.repo1.api}
Suite Teardown    Close All Connections

*** Test Cases ***
The Shell Keeps Its State
    Run Command    cd /tmp
    ${result} =    Run Command    pwd
    Should Be Equal    ${result.output}    /tmp\n

A Result Says How A Command Ended
    ${result} =    Run Oneshot    echo out; echo err >&2; exit 3
    Should Be Equal    ${result.stdout}    out\n
    Should Be Equal    ${result.stderr}    err\n
    Result Should Have Rc    ${result}    3

Prompts Are Answered
    &{answers} =    Create Dictionary    Name:=tester
    ${result} =    Run Command    printf 'Name:'; read -r name; echo "hello $name"    expects=${answers}    timeout=10 s
    Should Contain    ${result.output}    hello tester

A Program Is Talked To
    Write    printf 'Ready? '; read -r answer; echo "got <$answer>"
    Read Until    Ready?
    Write    go
    ${output} =    Read Until Regexp    got <\\w+>
    Should End With    ${output}    got <go>

Files Are Copied
    Create File On Host    /tmp/otto-example.txt    some text
    Get File    /tmp/otto-example.txt    ${OUTPUT DIR}/
    File Should Exist    /tmp/otto-example.txt
    Run Oneshot    rm /tmp/otto-example.txt    check=True
    File Should Not Exist    /tmp/otto-example.txt

A Value Is Watched
    Start Repeat    uptime    cat /proc/uptime    0.1 s
    Sleep    0.5 s
    ${results} =    Stop Repeat    uptime
    Should Not Be Empty    ${results}

*** Keywords ***
Create File On Host
    [Arguments]    ${path}    ${text}
    Run Oneshot    echo "${text}" > ${path}    check=True
