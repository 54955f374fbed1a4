//! Queries over small lakes.

mod lake;

use lake::Lake;

#[tokio::test]
async fn look() {
    let lake = Lake::with_two_pipelines();
    for sql in [
        "show tables",
        "describe campaign_hours",
        "select count(*), sum(spend) from demo",
        "select pipeline, count(*), sum(spend), sum(impressions), sum(clicks), sum(conversions) from campaign_hours group by pipeline order by 1",
        "explain analyze select sum(impressions) from demo where date = '2026-11-19'",
        "explain analyze select sum(impressions) from demo where hour >= '2026-11-20T20:00:00Z'",
        "explain analyze select sum(impressions) from demo where hour >= timestamp '2026-11-20T20:00:00' and hour < '2026-11-21'",
        "explain analyze select sum(impressions) from campaign_hours where hour >= timestamp '2026-11-20T20:00:00' and hour < '2026-11-21'",
        "explain analyze select hour, sum(impressions) from demo group by hour order by hour",
        "explain analyze select utc_hour, sum(impressions) from \"shop-ads\" where utc_hour = 9 group by 1",
    ] {
        eprintln!("{sql}\n{}", lake.table(sql).await);
    }
    for sql in [
        "select spent from demo",
        "select * from dem",
        "selct",
        "create table a as select 1",
        "copy demo to '/tmp/x.csv'",
        "set x = 1",
        "select 1/0",
        "insert into demo values (1)",
        "select 'a'::int from demo",
    ] {
        eprintln!("{sql}\n{:?}", super::rows(lake.input(), sql).await.err());
    }
}
