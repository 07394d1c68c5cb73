"""The steps from each schema to the next, numbered; `Database.open` takes those that are missing."""
