package apikey

type use struct{}
type Reason string
type Permission string
type Permissions []Permission
type Principal struct { pub string; secret uint32 }

func printable(s string, lines bool) bool { return true }
