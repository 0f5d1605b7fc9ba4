"""Hours of random verbs and faults, by hand: ``make soak``. No part of the test run."""
