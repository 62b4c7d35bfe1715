"""The monitoring web application of asyncjobs."""
