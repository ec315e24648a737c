module github.com/go-apikey/apikey/examples/boltstore

go 1.26.0

replace github.com/go-apikey/apikey => ../../

require (
	github.com/go-apikey/apikey v0.0.0-00010101000000-000000000000
	go.etcd.io/bbolt v1.5.0
)

require (
	github.com/google/go-cmp v0.7.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
