# Goals that people type, besides all.

.PHONY: help
help: ## this list
	@echo 'make GOAL [VARIANT=check|asan|tsan|coverage] [DESTDIR=...]'
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile apxs/goals.mk | expand -t 20

.PHONY: asan
asan: ## everything with AddressSanitizer and UndefinedBehaviorSanitizer, under build/asan
	$(MAKE) VARIANT=asan test-programs

.PHONY: lint
lint: ## clang-format, clang-tidy, cppcheck, shellcheck: quiet means clean
	@apxs/packages.sh lint
	@apxs/lint.sh

.PHONY: clean
clean: ## remove build/
	rm -rf build
