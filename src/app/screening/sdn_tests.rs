//! OFAC's files, in their own shape, and what is none of them.

use super::*;

/// In the shape of `SDN.XML`: a default namespace, and kinds of identifications that are none of addresses.
const PLAIN: &str = r#"<?xml version="1.0" standalone="yes"?>
<sdnList xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns="https://sanctionslistservice.ofac.treas.gov/api/PublicationPreview/exports/XML">
  <publshInformation><Publish_Date>11/21/2026</Publish_Date><Record_Count>3</Record_Count></publshInformation>
  <sdnEntry>
    <uid>39796</uid><lastName>LAZARUS &amp; CO</lastName><sdnType>Entity</sdnType>
    <programList><program>DPRK3</program><program>CYBER2</program></programList>
    <idList>
      <id><uid>1</uid><idType>Digital Currency Address - ETH</idType><idNumber>0x098B716B8Aaf21512996dC57EB0615e2383E2f96</idNumber></id>
      <id><uid>2</uid><idType>Passport</idType><idNumber>0x0000000000000000000000000000000000000009</idNumber></id>
      <id><uid>3</uid><idType>Digital Currency Address - XBT</idType><idNumber> 12QtD5BFwRsdNsAZY76UVE1xyCGNTojH9h </idNumber></id>
    </idList>
    <akaList><aka><uid>77</uid><type>a.k.a.</type></aka></akaList>
  </sdnEntry>
  <sdnEntry>
    <uid>40001</uid><sdnType>Individual</sdnType><programList><program>RUSSIA-EO14024</program></programList>
    <idList>
      <id><uid>4</uid><idType>Digital Currency Address - USDC</idType><idNumber>0x098B716B8Aaf21512996dC57EB0615e2383E2f96</idNumber></id>
      <id><uid>5</uid><idType>Digital Currency Address - SOL</idType><idNumber>4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T</idNumber></id>
      <id><uid>6</uid><idType>Digital Currency Address - TRX</idType><idNumber/></id>
    </idList>
  </sdnEntry>
  <sdnEntry><uid>40002</uid><sdnType>Vessel</sdnType></sdnEntry>
</sdnList>"#;

/// In the shape of `SDN_ADVANCED.XML`: kinds by number, programmes at the end.
const ADVANCED: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<Sanctions xmlns="https://sanctionslistservice.ofac.treas.gov/api/PublicationPreview/exports/ADVANCED_XML" Version="3">
  <DateOfIssue CalendarTypeID="1"><Year>2026</Year><Month>11</Month><Day>21</Day></DateOfIssue>
  <ReferenceValueSets><FeatureTypeValues>
    <FeatureType ID="8" FeatureTypeGroupID="1">Birthdate</FeatureType>
    <FeatureType ID="344" FeatureTypeGroupID="1">Digital Currency Address - XBT</FeatureType>
    <FeatureType ID="345" FeatureTypeGroupID="1">Digital Currency Address - ETH</FeatureType>
  </FeatureTypeValues></ReferenceValueSets>
  <DistinctParties><DistinctParty FixedRef="39796"><Profile ID="39796" PartySubTypeID="3">
    <Feature ID="1" FeatureTypeID="8"><FeatureVersion ID="2"><VersionDetail DetailTypeID="1432">1971</VersionDetail></FeatureVersion></Feature>
    <Feature ID="3" FeatureTypeID="345"><FeatureVersion ID="4" ReliabilityID="1"><Comment/><VersionDetail DetailTypeID="1432">0x098B716B8Aaf21512996dC57EB0615e2383E2f96</VersionDetail></FeatureVersion></Feature>
    <Feature ID="5" FeatureTypeID="344"><FeatureVersion ID="6"><VersionDetail DetailTypeID="1432">12QtD5BFwRsdNsAZY76UVE1xyCGNTojH9h</VersionDetail></FeatureVersion></Feature>
  </Profile></DistinctParty></DistinctParties>
  <SanctionsEntries><SanctionsEntry ID="1" ProfileID="39796" ListID="1550">
    <SanctionsMeasure ID="1" SanctionsTypeID="1567"><Comment>DPRK3</Comment></SanctionsMeasure>
    <SanctionsMeasure ID="2" SanctionsTypeID="1"><Comment/></SanctionsMeasure>
  </SanctionsEntry></SanctionsEntries>
</Sanctions>"#;

fn sorted(mut rows: Vec<[&str; 3]>) -> Vec<[&str; 3]> {
    rows.sort_unstable();
    rows
}

fn rows(sdn: &Sdn) -> Vec<[&str; 3]> {
    sdn.entries
        .iter()
        .map(|(address, entry)| [address.as_str(), entry.reference.as_str(), entry.reason.as_str()])
        .collect()
}

const EVM: &str = "0x098b716b8aaf21512996dc57eb0615e2383e2f96";
const BITCOIN: &str = "12QtD5BFwRsdNsAZY76UVE1xyCGNTojH9h";
const SOLANA: &str = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T";

#[tokio::test]
async fn every_address_is_read_whatever_currency_it_is_listed_under() {
    let sdn = read(PLAIN.as_bytes()).await.unwrap();
    assert_eq!(sdn.published, "11/21/2026");
    assert_eq!(
        rows(&sdn),
        sorted(vec![
            [EVM, "39796", "DPRK3, CYBER2"],
            [EVM, "40001", "RUSSIA-EO14024"],
            [BITCOIN, "39796", "DPRK3, CYBER2"],
            [SOLANA, "40001", "RUSSIA-EO14024"],
        ])
    );
    let advanced = read(ADVANCED.as_bytes()).await.unwrap();
    assert_eq!(advanced.published, "2026-11-21");
    assert_eq!(
        rows(&advanced),
        sorted(vec![[EVM, "39796", "DPRK3"], [BITCOIN, "39796", "DPRK3"]])
    );
}

#[tokio::test]
async fn another_namespace_a_prefix_or_none_makes_no_difference() {
    let of = async |text: String| read(text.as_bytes()).await.unwrap();
    let known = of(PLAIN.to_owned()).await;
    let namespace = "https://sanctionslistservice.ofac.treas.gov/api/PublicationPreview/exports/XML";
    for other in ["http://tempuri.org/sdnList.xsd", ""] {
        assert_eq!(of(PLAIN.replace(namespace, other)).await, known, "{other}");
    }
    let named = PLAIN.replace(" xmlns=\"", " xmlns:s=\"");
    let prefixed = regex_lite::Regex::new("<(/?)([a-zA-Z])")
        .unwrap()
        .replace_all(&named, "<${1}s:$2")
        .into_owned();
    assert_eq!(of(prefixed).await, known);
    assert_eq!(of(format!("\u{feff}{PLAIN}")).await, known);
}

#[tokio::test]
async fn what_is_not_the_whole_list_is_no_list() {
    for at in [
        0,
        1,
        200,
        PLAIN.len() / 2,
        PLAIN.rfind("</sdnEntry>").unwrap(),
        PLAIN.rfind("</sdnList>").unwrap(),
    ] {
        assert!(read(&PLAIN.as_bytes()[..at]).await.is_err(), "cut at {at}");
    }
    let empty = PLAIN.replace("Digital Currency Address", "Passport");
    assert!(matches!(read(empty.as_bytes()).await, Err(NotSdn::Empty)));
    let other = "<html><body>Access Denied</body></html>";
    assert!(matches!(read(other.as_bytes()).await, Err(NotSdn::OtherRoot)));
    let crossed = PLAIN.replace("</idList>", "</idlist>");
    assert!(matches!(read(crossed.as_bytes()).await, Err(NotSdn::Xml(_))));
    let deep = format!("<sdnList>{}", "<a>".repeat(40));
    assert!(matches!(read(deep.as_bytes()).await, Err(NotSdn::Excess(_))));
    let long = PLAIN.replace("Vessel", &"x".repeat(TEXT_MAX));
    assert!(read(long.as_bytes()).await.is_ok());
    let longer = PLAIN.replace("Vessel", &"x".repeat(TEXT_MAX + 1));
    assert!(matches!(read(longer.as_bytes()).await, Err(NotSdn::Excess(_))));
}
