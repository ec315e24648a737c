module github.com/go-apikey/apikey/examples/demo

go 1.26.0

replace (
	github.com/go-apikey/apikey => ../../
	github.com/go-apikey/apikey/keyadmin => ../../keyadmin
	github.com/go-apikey/apikey/sqlstore => ../../sqlstore
)

require (
	github.com/go-apikey/apikey v0.0.0-00010101000000-000000000000
	github.com/go-apikey/apikey/keyadmin v0.0.0-00010101000000-000000000000
	github.com/go-apikey/apikey/sqlstore v0.0.0-00010101000000-000000000000
	github.com/google/go-cmp v0.7.0
	modernc.org/sqlite v1.60.0
)

require (
	github.com/danielgtaylor/huma/v2 v2.37.2 // indirect
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/go-json-experiment/json v0.0.0-20260820222146-c27c302e5fc3 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/ncruces/go-strftime v1.0.0 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	modernc.org/libc v1.77.1 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.12.1 // indirect
)
