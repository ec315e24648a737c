package scantest

import "fmt"

// Rules for gitleaks, to be put into .gitleaks.toml.
func Example_gitleaks() {
	fmt.Println("[extend]")
	fmt.Println("useDefault = true")
	for _, f := range formats { // or those of Manager.Formats
		fmt.Println()
		fmt.Println("[[rules]]")
		fmt.Printf("id = %q\n", f.Prefix+"api_key")
		fmt.Printf("description = %q\n", "An API key of Example Inc.")
		fmt.Printf("regex = '''%s'''\n", f.Regexp())
		fmt.Printf("keywords = [%q]\n", f.Prefix)
	}
	// Output:
	// [extend]
	// useDefault = true
	//
	// [[rules]]
	// id = "rg_live_api_key"
	// description = "An API key of Example Inc."
	// regex = '''rg_live_[0-9A-Za-z]{45}'''
	// keywords = ["rg_live_"]
	//
	// [[rules]]
	// id = "rg_test_api_key"
	// description = "An API key of Example Inc."
	// regex = '''rg_test_[0-9A-Za-z]{45}'''
	// keywords = ["rg_test_"]
	//
	// [[rules]]
	// id = "rk_live_api_key"
	// description = "An API key of Example Inc."
	// regex = '''rk_live_[0-9A-Za-z]{32}'''
	// keywords = ["rk_live_"]
	//
	// [[rules]]
	// id = "rd_sk_api_key"
	// description = "An API key of Example Inc."
	// regex = '''rd_sk_[0-9A-Za-z]{45}'''
	// keywords = ["rd_sk_"]
}

// Custom detectors for trufflehog, to be given by --config.
func Example_trufflehog() {
	fmt.Println("detectors:")
	for _, f := range formats { // or those of Manager.Formats
		fmt.Printf("  - name: %sapi_key\n", f.Prefix)
		fmt.Printf("    keywords: [%q]\n", f.Prefix)
		fmt.Printf("    regex:\n      token: '%s'\n", f.Regexp())
	}
	// Output:
	// detectors:
	//   - name: rg_live_api_key
	//     keywords: ["rg_live_"]
	//     regex:
	//       token: 'rg_live_[0-9A-Za-z]{45}'
	//   - name: rg_test_api_key
	//     keywords: ["rg_test_"]
	//     regex:
	//       token: 'rg_test_[0-9A-Za-z]{45}'
	//   - name: rk_live_api_key
	//     keywords: ["rk_live_"]
	//     regex:
	//       token: 'rk_live_[0-9A-Za-z]{32}'
	//   - name: rd_sk_api_key
	//     keywords: ["rd_sk_"]
	//     regex:
	//       token: 'rd_sk_[0-9A-Za-z]{45}'
}
