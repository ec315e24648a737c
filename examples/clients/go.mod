module github.com/go-apikey/apikey/examples/clients

go 1.26.0

replace (
	github.com/go-apikey/apikey => ../../
	github.com/go-apikey/apikey/examples/demo => ../demo
	github.com/go-apikey/apikey/keyadmin => ../../keyadmin
	github.com/go-apikey/apikey/sqlstore => ../../sqlstore
)

require (
	github.com/go-apikey/apikey v0.0.0-00010101000000-000000000000
	github.com/go-apikey/apikey/examples/demo v0.0.0-00010101000000-000000000000
)
