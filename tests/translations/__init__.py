"""The catalogue of translations: `make messages` updates it, the tests hold it whole."""
