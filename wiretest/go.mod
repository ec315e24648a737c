module github.com/go-apikey/apikey/wiretest

go 1.26.0

replace github.com/go-apikey/apikey => ../

require (
	github.com/go-apikey/apikey v0.0.0-00010101000000-000000000000
	github.com/google/go-cmp v0.7.0
	golang.org/x/net v0.60.0
)

require (
	golang.org/x/text v0.42.0 // indirect
	golang.org/x/time v0.16.0 // indirect
)
