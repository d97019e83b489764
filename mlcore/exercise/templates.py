from mlcore.templates import fill as fill
