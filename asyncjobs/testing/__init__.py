"""What an application's tests import."""
