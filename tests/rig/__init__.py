"""The real parts that the tests run against, each started when first asked for and removed with the test run."""
