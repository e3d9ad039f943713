# The two commands of the README are `make demo` and `make test`; both install what is missing first.

PRESET  ?= release
BUILD   := build/$(PRESET)
JOBS    ?= $(shell nproc)

.PHONY: build configure test demo bench-cli bench-layers bench-verify packages clang-tidy generated format tidy fuzz clean

build: configure
	@cmake --build --preset $(PRESET) -j $(JOBS) --target programs

configure: packages
	@cmake --preset $(PRESET) -Wno-dev > $(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }

packages:
	@.ci/install-packages
	@mkdir -p build

clang-tidy: packages
	@.ci/install-clang-tidy

demo: build
	@tests/demo/run.sh $(BUILD)

test: configure clang-tidy
	@cmake --build --preset $(PRESET) -j $(JOBS)
	@tests/run-all.sh

bench-cli: configure
	@cmake --build --preset $(PRESET) -j $(JOBS)
	@tests/bench/run.sh $(BUILD)

bench-layers: configure
	@cmake --build --preset $(PRESET) -j $(JOBS) --target bench_layers
	@$(BUILD)/bench/bench_layers

# What is checked in and made from the command tree; a test compares.
generated: build
	@$(BUILD)/kernels generate man > man/kernels.1
	@$(BUILD)/kernels generate bash > completions/kernels.bash
	@$(BUILD)/kernels generate zsh > completions/_kernels
	@$(BUILD)/kernels generate fish > completions/kernels.fish

bench-verify: configure
	@cmake --build --preset $(PRESET) -j $(JOBS) --target bench_verify
	@$(BUILD)/bench/bench_verify

format:
	@tests/budget/format.sh --fix

tidy: clang-tidy
	@tests/budget/tidy.sh

fuzz: packages
	@cmake --preset asan -Wno-dev && cmake --build --preset asan -j $(JOBS) --target fuzzer
	@tests/fuzz/run.sh build/asan

clean:
	@rm -rf build
