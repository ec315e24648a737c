module github.com/go-apikey/apikey/bench

go 1.26.0

replace github.com/go-apikey/apikey => ../

require github.com/go-apikey/apikey v0.0.0-00010101000000-000000000000
