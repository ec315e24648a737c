package keyadmin_test

import (
	"testing"

	"github.com/go-apikey/apikey/internal/apigolden"
)

func TestAPI(t *testing.T) { apigolden.Test(t) }
