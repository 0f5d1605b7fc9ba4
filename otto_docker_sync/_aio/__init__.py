"""What is behind the verbs of `otto_docker_sync.aio`."""
