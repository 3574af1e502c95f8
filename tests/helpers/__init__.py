"""What the tests of several rooms share; fixtures are in conftest.py files."""
