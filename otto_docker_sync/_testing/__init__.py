"""What `otto_docker_sync.testing` is made of."""
