//! Versions of campaigns.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::merge::{Followed, Version, follow};

type Known = Vec<Version<'static, u8>>;

const IDS: [&str; 4] = ["a", "b", "c", "d"];

fn version(campaign: &'static str, values: u8, valid_from: i64, valid_to: Option<i64>) -> Version<'static, u8> {
    Version { campaign, values, valid_from, valid_to }
}

fn listed(all: &[(&'static str, u8)]) -> BTreeMap<&'static str, u8> {
    all.iter().copied().collect()
}

#[test]
fn versions_begin_and_end_with_what_is_listed() {
    let mut known = Known::new();
    assert_eq!(follow(&mut known, &listed(&[("b", 1), ("a", 1)]), 10), Followed::Changed { begun: 2, ended: 0 });
    assert_eq!(known, [version("a", 1, 10, None), version("b", 1, 10, None)]);
    assert_eq!(follow(&mut known, &listed(&[("a", 1), ("b", 1)]), 20), Followed::Unchanged);
    // One changes, one is gone, one is new.
    assert_eq!(follow(&mut known, &listed(&[("a", 2), ("c", 1)]), 30), Followed::Changed { begun: 2, ended: 2 });
    let after = [
        version("a", 1, 10, Some(30)),
        version("a", 2, 30, None),
        version("b", 1, 10, Some(30)),
        version("c", 1, 30, None),
    ];
    assert_eq!(known, after);
    // What comes back begins anew, as it was before.
    assert_eq!(
        follow(&mut known, &listed(&[("a", 2), ("b", 1), ("c", 1)]), 40),
        Followed::Changed { begun: 1, ended: 0 }
    );
    assert_eq!(known[3], version("b", 1, 40, None));
}

#[test]
fn an_empty_list_ends_nothing() {
    let mut known = vec![version("a", 1, 10, None)];
    assert_eq!(follow(&mut known, &listed(&[]), 20), Followed::Empty);
    assert_eq!(known, [version("a", 1, 10, None)]);
    let mut known = vec![version("a", 1, 10, Some(20))];
    assert_eq!(follow(&mut known, &listed(&[]), 30), Followed::Unchanged, "nothing is present");
    assert_eq!(follow(&mut Known::new(), &listed(&[]), 30), Followed::Unchanged);
}

#[test]
fn a_late_list_is_not_taken() {
    let known = vec![version("a", 1, 10, Some(30)), version("a", 2, 30, None), version("b", 1, 10, Some(40))];
    for read_at in [5, 10, 30, 35, 40] {
        let mut late = known.clone();
        assert_eq!(follow(&mut late, &listed(&[("a", 3)]), read_at), Followed::Late, "{read_at}");
        assert_eq!(late, known);
    }
    assert_eq!(follow(&mut known.clone(), &listed(&[("a", 2)]), 5), Followed::Unchanged, "it tells what is known");
    assert_eq!(follow(&mut known.clone(), &listed(&[("a", 3)]), 41), Followed::Changed { begun: 1, ended: 1 });
}

/// What each campaign was at `moment`.
fn at(known: &[Version<'static, u8>], moment: i64) -> BTreeMap<&'static str, u8> {
    let valid =
        |version: &&Version<'static, u8>| version.valid_from <= moment && version.valid_to.is_none_or(|to| moment < to);
    known.iter().filter(valid).map(|version| (version.campaign, version.values)).collect()
}

fn lists() -> impl Strategy<Value = Vec<(i64, BTreeMap<&'static str, u8>)>> {
    let list = prop::collection::btree_map(prop::sample::select(IDS.to_vec()), 0u8..3, 0..4);
    prop::collection::vec((0i64..12, list), 0..12)
}

proptest! {
    #[test]
    fn versions_never_overlap_and_tell_each_list_at_its_moment(lists in lists()) {
        let mut known = Known::new();
        let mut taken: BTreeMap<i64, BTreeMap<&'static str, u8>> = BTreeMap::new();
        for (read_at, list) in &lists {
            let before = known.clone();
            let followed = follow(&mut known, list, *read_at);
            match followed {
                Followed::Changed { begun, ended } => {
                    prop_assert!(begun + ended > 0);
                    prop_assert_eq!(known.len() as u64, before.len() as u64 + begun);
                    // Whatever was read before stays as it was.
                    for moment in -1..*read_at {
                        prop_assert_eq!(at(&known, moment), at(&before, moment));
                    }
                    prop_assert_eq!(&at(&known, *read_at), list);
                    taken.insert(*read_at, list.clone());
                }
                Followed::Unchanged | Followed::Late | Followed::Empty => prop_assert_eq!(&known, &before),
            }
            prop_assert_eq!(followed == Followed::Empty, list.is_empty() && before.iter().any(|v| v.valid_to.is_none()));
            // Once more changes nothing.
            let after = known.clone();
            let again = follow(&mut known, list, *read_at);
            prop_assert!(!matches!(again, Followed::Changed { .. }), "{:?}", again);
            prop_assert_eq!(&known, &after);
        }
        for (read_at, list) in &taken {
            prop_assert_eq!(&at(&known, *read_at), list);
        }
        let keys: BTreeSet<(&str, i64)> = known.iter().map(|version| (version.campaign, version.valid_from)).collect();
        prop_assert_eq!(keys.len(), known.len(), "the key is unique");
        prop_assert!(known.is_sorted_by_key(|version| (version.campaign, version.valid_from)));
        for pair in known.windows(2).filter(|pair| pair[0].campaign == pair[1].campaign) {
            prop_assert!(pair[0].valid_to.is_some_and(|to| to <= pair[1].valid_from), "{:?}", pair);
        }
        prop_assert!(known.iter().all(|version| version.valid_to.is_none_or(|to| version.valid_from < to)));
    }

    #[test]
    fn lists_in_order_are_all_followed(mut lists in lists()) {
        lists.sort_by_key(|(read_at, _)| *read_at);
        lists.dedup_by_key(|(read_at, _)| *read_at);
        let mut known = Known::new();
        for (read_at, list) in &lists {
            let followed = follow(&mut known, list, *read_at);
            prop_assert_ne!(followed, Followed::Late);
            if followed != Followed::Empty {
                prop_assert_eq!(&at(&known, *read_at), list);
            }
        }
    }
}
