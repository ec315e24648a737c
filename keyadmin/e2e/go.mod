module github.com/go-apikey/apikey/keyadmin/e2e

go 1.26.0

replace (
	github.com/go-apikey/apikey => ../../
	github.com/go-apikey/apikey/keyadmin => ../
)

require (
	github.com/chromedp/cdproto v0.159.0
	github.com/chromedp/chromedp v0.22.1
	github.com/go-apikey/apikey v0.0.0-00010101000000-000000000000
	github.com/go-apikey/apikey/keyadmin v0.0.0-00010101000000-000000000000
)

require (
	github.com/danielgtaylor/huma/v2 v2.37.2 // indirect
	github.com/go-json-experiment/json v0.0.0-20260820222146-c27c302e5fc3 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
