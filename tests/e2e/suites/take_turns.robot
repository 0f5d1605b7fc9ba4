*** Settings ***
Library     otto_docker_sync.robot.OttoDockerLibrary
Test Teardown    Close All Connections


*** Test Cases ***
One Suite At A Time
    Use Lab    lab.toml
    Reserve    carrot
    # The second in here would find the directory.
    Run Oneshot    mkdir in-use; sleep 0.2; rmdir in-use; echo x >>done    host=carrot    check=True
