"""The tests: one folder per package, plus cases/ (data), flows/ (mediate), e2e/ (real clients and servers), habits/."""
