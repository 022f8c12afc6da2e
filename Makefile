# Everything here is also a plain Go command; make is a convenience.
.PHONY: test system race fuzz bench lint ci dictionary

test:          ## the tests (the README's command)
	go test -timeout 40m ./...

system:        ## the kill test and other long runs of whole systems
	TILLWATCH_SYSTEM=1 go test -v -count=1 -timeout 40m -run '^TestSystem' ./cmd/...

race:
	go test -short -race -shuffle=on -timeout 30m ./...

FUZZTIME ?= 60s
fuzz:          ## every fuzz target for FUZZTIME
	@for pkg in $$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u); do \
	  for name in $$(go test -list '^Fuzz' ./$$pkg | grep '^Fuzz'); do \
	    go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) ./$$pkg || exit 1; \
	  done; \
	done

bench:         ## the figures of docs/performance.md
	go test -run '^$$' -bench . -benchmem -timeout 40m ./internal/fleet/... ./collector/point ./alerter/... ./cmd/tillwatch/bench

lint:
	go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

dictionary:    ## docs/data-dictionary.md from internal/schema
	go test ./internal/schema -update

ci:
	bash .ci/run
