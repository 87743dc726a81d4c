#!/bin/sh
# Builds the component: a module by the Go compiler, made a component by Skep.
set -e
cd "$(dirname "$0")"
mkdir -p build
GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -trimpath \
    -ldflags="-s -w -checklinkname=0" -o build/core.wasm .
"${SKEP:-skep}" componentize build/core.wasm --wit wit --world service -o {{name}}.wasm
