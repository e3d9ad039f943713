# `make demo` and `make test` are the two commands of the README.
