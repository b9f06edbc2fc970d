"""Every rule: vocabulary, regimes, rate cards, markets, plan, decision, reservation. No IO, no clock, no logs."""
