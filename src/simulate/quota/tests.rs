use super::*;
use crate::simulate::limit::Weight;

fn quotas(app: &str, account: &str, penalty: u64) -> Quotas {
    let limits =
        |text: &str| text.split(' ').filter(|part| !part.is_empty()).map(|part| part.parse().expect("limit")).collect();
    let penalty = Duration::from_millis(penalty);
    Quotas::new(QuotaOptions { app: limits(app), account: limits(account), penalty, ..QuotaOptions::default() })
}

fn weights(quotas: &mut Quotas, weights: &str) {
    let weights: Vec<Weight> = weights.split(' ').map(|part| part.parse().expect("weight")).collect();
    quotas.set(QuotaOptions { weights, ..quotas.options().clone() });
}

fn endpoints(quotas: &mut Quotas, limits: &str) {
    let endpoint = limits.split(' ').map(|part| part.parse().expect("limit")).collect();
    quotas.set(QuotaOptions { endpoint, ..quotas.options().clone() });
    quotas.restart_endpoints();
}

fn charge(accounts: &[usize], endpoint: Option<Endpoint>) -> Charge {
    Charge { endpoint, accounts: accounts.to_vec() }
}

/// The longest wait in milliseconds; none where the call is admitted.
fn refused(quotas: &mut Quotas, accounts: &[usize], now: u64) -> Option<u64> {
    refused_by(quotas, &charge(accounts, None), now).into_iter().map(|(_, wait)| wait).max()
}

fn refused_by(quotas: &mut Quotas, charge: &Charge, now: u64) -> Vec<(ScopeKind, u64)> {
    let standing = quotas.admit(charge, Duration::from_millis(now));
    standing.refused.iter().map(|refused| (refused.scope, refused.wait.as_millis() as u64)).collect()
}

#[test]
fn the_window_slides_to_the_millisecond() {
    let mut quotas = quotas("2/1s", "", 0);
    assert_eq!(refused(&mut quotas, &[], 0), None);
    assert_eq!(refused(&mut quotas, &[], 600), None);
    assert_eq!(refused(&mut quotas, &[], 999), Some(1));
    assert_eq!(refused(&mut quotas, &[], 1_000), None);
    assert_eq!(refused(&mut quotas, &[], 1_001), Some(599));
    let seen = quotas.app_seen()[0];
    assert_eq!((seen.counted, seen.arrived, seen.refused, seen.violations), (2, 4, 2, 2));
}

#[test]
fn a_fixed_window_begins_at_a_full_period_and_counts_for_itself() {
    let mut quotas = quotas("2/1s@fixed", "", 0);
    assert_eq!(refused(&mut quotas, &[], 10_900), None);
    assert_eq!(refused(&mut quotas, &[], 10_950), None);
    assert_eq!(refused(&mut quotas, &[], 10_999), Some(1));
    for now in [11_000, 11_000] {
        assert_eq!(refused(&mut quotas, &[], now), None, "four within 100 ms, but two in each window");
    }
    assert_eq!(refused(&mut quotas, &[], 11_001), Some(999));
    let seen = quotas.app_seen()[0];
    assert_eq!((seen.counted, seen.arrived), (2, 3));
    let room = quotas.standing(&Charge::default(), Duration::from_millis(11_250)).tightest.expect("a limit");
    assert_eq!((room.remaining, room.reset), (0, Duration::from_millis(750)));
}

#[test]
fn a_violation_starts_a_penalty_and_waiting_as_told_is_enough() {
    let mut quotas = quotas("1/1s", "", 5_000);
    assert_eq!(refused(&mut quotas, &[], 0), None);
    assert_eq!(refused(&mut quotas, &[], 100), Some(5_000));
    assert_eq!(refused(&mut quotas, &[], 2_100), Some(3_000));
    assert_eq!(refused(&mut quotas, &[], 5_100), None);
    let seen = quotas.app_seen()[0];
    assert_eq!((seen.refused, seen.violations), (2, 1), "the second was inside the penalty");
    assert_eq!(quotas.refusals(), (2, 1));
    quotas.forget_seen();
    assert_eq!((quotas.app_seen()[0].refused, quotas.refusals()), (0, (0, 0)));
}

#[test]
fn a_penalty_that_is_taken_back_ends() {
    let mut quotas = quotas("1/1s", "", 5_000);
    for now in [0, 100] {
        refused(&mut quotas, &[], now);
    }
    quotas.end_penalties();
    assert_eq!(refused(&mut quotas, &[], 1_000), None);
}

#[test]
fn refused_calls_count_if_asked_for() {
    let mut quotas = quotas("2/1s", "", 0);
    quotas.set(QuotaOptions { count_refused: true, ..quotas.options().clone() });
    for now in [0, 100] {
        assert_eq!(refused(&mut quotas, &[], now), None);
    }
    assert_eq!(refused(&mut quotas, &[], 500), Some(500));
    assert_eq!(refused(&mut quotas, &[], 1_000), Some(100), "the refused call at 500 holds a place");
}

#[test]
fn a_batch_counts_once_for_each_account_or_not_at_all() {
    let mut quotas = quotas("", "1/1s 3/10s", 0);
    assert_eq!(refused(&mut quotas, &[1, 2], 0), None);
    assert_eq!(refused(&mut quotas, &[2, 3], 100), Some(900));
    assert_eq!(refused(&mut quotas, &[3], 100), None, "the refused batch took nothing from account 3");
    assert_eq!(refused(&mut quotas, &[1], 1_000), None);
    assert_eq!(refused(&mut quotas, &[3], 200), Some(900));
    let (sums, accounts) = quotas.accounts_refused();
    assert_eq!(accounts, 2);
    assert_eq!(sums.iter().map(|sum| (sum.refused, sum.violations)).collect::<Vec<_>>(), [(2, 2), (0, 0)]);
}

#[test]
fn scopes_that_refuse_are_told_in_order_with_waits_of_their_own() {
    let mut quotas = quotas("2/10s", "1/1m", 0);
    endpoints(&mut quotas, "metrics=1/1s metrics=5/1h");
    let metrics = charge(&[4], Some(Endpoint::Metrics));
    assert_eq!(refused_by(&mut quotas, &metrics, 0), []);
    assert_eq!(refused_by(&mut quotas, &metrics, 100), [(ScopeKind::Account, 59_900), (ScopeKind::Endpoint, 900)]);
    assert_eq!(refused_by(&mut quotas, &charge(&[5], Some(Endpoint::Insights)), 200), []);
    let expected = [(ScopeKind::App, 9_700), (ScopeKind::Account, 59_700), (ScopeKind::Endpoint, 700)];
    assert_eq!(refused_by(&mut quotas, &metrics, 300), expected);
    let seen: Vec<(Endpoint, u64)> = quotas.endpoints_seen().iter().map(|(name, seen)| (*name, seen.refused)).collect();
    assert_eq!(seen, [(Endpoint::Metrics, 2), (Endpoint::Metrics, 0)]);
    let standing = quotas.admit(&metrics, Duration::from_millis(400));
    assert_eq!(standing.refused[2].limit.to_string(), "1/1s");
    let used = Use { percent: 100, regain: Duration::from_millis(600) };
    assert_eq!(standing.endpoint, Some((Endpoint::Metrics, used)));
    assert_eq!(quotas.refusals(), (3, 3));
}

#[test]
fn weights_count_in_every_limit() {
    let mut quotas = quotas("10/1s", "6/10s", 0);
    endpoints(&mut quotas, "create=4/1s");
    weights(&mut quotas, "create=3 accounts=0");
    let create = charge(&[1], Some(Endpoint::CreateReport));
    assert_eq!(refused_by(&mut quotas, &create, 0), []);
    assert_eq!(refused_by(&mut quotas, &create, 500), [(ScopeKind::Endpoint, 500)], "1 of 4 is left");
    assert_eq!(refused_by(&mut quotas, &create, 1_000), []);
    assert_eq!(refused_by(&mut quotas, &charge(&[1], Some(Endpoint::Metrics)), 2_000), [(ScopeKind::Account, 8_000)]);
    let seen = quotas.app_seen()[0];
    assert_eq!((seen.counted, seen.arrived), (3, 6), "in units of weight");
    assert_eq!(quotas.accounts_highest()[0].1.counted, 6);
    for _ in 0..20 {
        assert_eq!(refused_by(&mut quotas, &charge(&[], Some(Endpoint::Accounts)), 2_100), [], "free");
    }
}

#[test]
fn a_heavy_call_waits_until_enough_has_left() {
    let mut quotas = quotas("4/1s", "", 0);
    weights(&mut quotas, "metrics=2 create=3");
    for (endpoint, now) in [(Endpoint::Accounts, 0), (Endpoint::Metrics, 300), (Endpoint::Accounts, 600)] {
        assert_eq!(refused_by(&mut quotas, &charge(&[], Some(endpoint)), now), []);
    }
    let create = charge(&[], Some(Endpoint::CreateReport));
    assert_eq!(refused_by(&mut quotas, &create, 700), [(ScopeKind::App, 600)], "those at 0 and at 300 must leave");
    assert_eq!(refused_by(&mut quotas, &create, 1_300), []);
}

#[test]
fn standing_tells_the_tightest_limit() {
    let mut quotas = quotas("10/1s", "4/1h", 0);
    refused(&mut quotas, &[7], 0);
    let standing = quotas.standing(&charge(&[7], None), Duration::from_millis(400));
    let room = Room { limit: 4, remaining: 3, reset: Duration::from_millis(3_599_600) };
    assert_eq!(standing.tightest, Some(room));
    assert_eq!((standing.app.percent, standing.accounts[0].1.percent), (10, 25));
    endpoints(&mut quotas, "insights=1/1m");
    let standing = quotas.admit(&charge(&[7], Some(Endpoint::Insights)), Duration::from_millis(500));
    assert_eq!(standing.tightest.map(|room| (room.limit, room.remaining)), Some((1, 0)), "its own call included");
}

#[test]
fn limits_that_are_set_anew_begin_empty_and_others_go_on() {
    let mut quotas = quotas("1/1h", "1/1h", 0);
    refused(&mut quotas, &[1], 0);
    quotas.restart_app();
    assert_eq!(refused_by(&mut quotas, &charge(&[1], None), 10), [(ScopeKind::Account, 3_599_990)]);
    quotas.restart_accounts();
    assert_eq!(refused(&mut quotas, &[1], 20), None);
}
