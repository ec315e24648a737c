package apikey_test

import (
	"fmt"

	"github.com/go-apikey/apikey"
)

func ExamplePermissions_Allows() {
	granted := apikey.Permissions{"calls:*", "*:read"}
	for _, required := range []apikey.Permission{"calls:create", "integrations:hubspot:read", "billing:write"} {
		fmt.Println(required, granted.Allows(required))
	}
	// Output:
	// calls:create true
	// integrations:hubspot:read true
	// billing:write false
}

func ExamplePermissions_Covers() {
	mine := apikey.Permissions{"calls:*", "billing:read"}
	fmt.Println(mine.Covers(apikey.Permissions{"calls:read", "calls:*:read"}))
	fmt.Println(mine.Covers(apikey.Permissions{"*:read"})) // it grants reading of all else too
	// Output:
	// true
	// false
}

func ExampleCatalog() {
	catalog := apikey.Catalog{
		Permissions: []apikey.PermissionInfo{
			{Permission: "calls:create", Title: "Start calls", Group: "Calls"},
			{Permission: "calls:read", Title: "See calls", Group: "Calls"},
			{Permission: "billing:read", Title: "See invoices", Group: "Billing"},
		},
		Presets: []apikey.Preset{
			{Name: "read_only", Title: "Read only", Permissions: apikey.Permissions{"*:read"}},
		},
	}
	for _, info := range catalog.Permissions {
		fmt.Println(info.Permission, catalog.Presets[0].Permissions.Allows(info.Permission))
	}
	// Output:
	// calls:create false
	// calls:read true
	// billing:read true
}
