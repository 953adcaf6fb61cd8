"""Files of an upstream's: lines of JSON and rows of CSV, as the records that are sent."""
